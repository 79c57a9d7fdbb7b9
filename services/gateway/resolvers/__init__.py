"""What the fields of the schema do; `services/gateway/engine.py` names the modules to load."""
