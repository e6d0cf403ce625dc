"""Measurements, printed as figures beside a peer or a limit; never asserted."""
