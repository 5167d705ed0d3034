"""The paper shelf."""
