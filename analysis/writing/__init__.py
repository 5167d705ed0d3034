"""Text that the model writes: prompts and chats, samplers, branches, many answers, and what rules say about them."""
