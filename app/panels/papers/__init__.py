"""The papers that pictures come from."""
