"""The HTTP server in front of the Flask application.

An event loop holds all connections, so that a client that sends or reads slowly costs a socket and
no thread. Flask gets a thread for a request that has arrived as a whole.
"""
