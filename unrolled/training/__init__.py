"""The one visible loop, and what it needs: recipe, optimisers, plans, checkpoints, evaluation and advice."""
