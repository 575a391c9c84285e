"""The demo vendor: an OpenAI-compatible server on loopback that lets the gateway run without a vendor's key.

Every answer says that it is a demo: in its text or name, in the model, and in the header `x-demo`.
"""
