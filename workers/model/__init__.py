"""What runs in the model process around a family, and the protocol of its pipe."""
