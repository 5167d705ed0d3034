"""The vision-language model that comes with the project: its parts in code, its weights beside it."""
