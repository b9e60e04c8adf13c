"""What the figures say: verdicts, claims, comparison, tracking and recommendation. Nothing is shown or measured here."""
