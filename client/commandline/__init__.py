"""The verbs of resources, one module each: which operations `ocelog RESOURCE OPERATION NAME` offers.

They use `client.verbs`, which has what all of them share, and import neither ZeroMQ nor a client before they run.
"""
