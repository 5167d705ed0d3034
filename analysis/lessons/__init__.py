"""Lessons: what each step claims, what was measured, and the pictures of both."""
