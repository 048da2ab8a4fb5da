"""How unusual a flow is: features, history and model."""
