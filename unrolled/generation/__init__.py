"""From a trained model to symbols: sampling rules, streams, beams, novelty and curation."""
