"""From a search space to trials: space, objective, sampler, pruner, study, time budget."""
