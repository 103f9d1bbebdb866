"""Long videos of several actions, condensed: a few features for each segment, its action and its length."""
