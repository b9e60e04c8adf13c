"""What is asked: a study file or flags, and the plan of cases that they come to. No torch here."""
