"""Who did what to which entity, and when."""
