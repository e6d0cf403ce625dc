"""The console: what people at the agency see and do in a browser."""
