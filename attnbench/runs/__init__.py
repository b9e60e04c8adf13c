"""What was seen: facts as they are stored, the records they come to, run files old and new. No torch here."""
