"""The model process around a family: its main loop, its pipe's protocol, memory and weights."""
