"""The bench: how a blank board becomes a trusted terminal, and how the fleet's keys are made and kept."""
