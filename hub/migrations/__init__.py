"""How an older hub.db becomes this one: one file per step, never edited once released."""
