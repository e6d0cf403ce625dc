"""A whole fleet on one machine: starts the real programs as processes and drives them."""
