"""The hub: where records arrive and stay, units are chosen, and desired state is sent from."""
