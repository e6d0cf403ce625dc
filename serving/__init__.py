"""HTTP for the pages and interfaces of hub and terminal: one server, set up once."""
