"""What the gateway costs: `python -m bench` measures it against bare Envoy and its peers."""
