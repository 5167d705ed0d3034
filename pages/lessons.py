"""Lessons: one question after the other, a prediction first, then what the model does. Measured by :mod:`analysis.lessons`."""

from app.panels.lessons.view import lessons

lessons()
