"""The only place that talks to the API server.

Objects are raw JSON (`Object`): a typed client drops fields that it does not know, and a pod
template that lost one is no longer the Deployment's own.
"""
