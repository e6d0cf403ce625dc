"""Receivers and pins: the only place that knows what a serial port, an NMEA sentence or a pin is."""
