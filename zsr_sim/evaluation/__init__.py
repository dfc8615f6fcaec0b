"""What a strategy is worth: paired comparisons of visits, and the verdict on them."""
