"""``vision``, the command line: a client of the service, over HTTP.

It needs neither the API's packages nor a worker's; what only they can tell, it asks the API.
"""
