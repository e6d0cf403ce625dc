"""The touchscreen: pages served on the terminal to the terminal, readable at arm's length in a moving car."""
