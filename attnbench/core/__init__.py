"""What everything else stands on: errors, numbers as text, statistics, the records, the metrics, names and their options."""
