"""Small models trained in front of the class: a policy that collapses, a sink that forms."""
