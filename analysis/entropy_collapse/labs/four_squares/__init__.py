"""A policy that collapses in front of the class, and what helps against it."""
