"""The terminal: what happens in the vehicle, or at a clinician's desk, kept safe until the hub has it."""
