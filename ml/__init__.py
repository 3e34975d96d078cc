"""Early warning of members who fall silent: arrays in, arrays out.

Nothing here knows the database, the web or the rest of the product. The way through is
`Facts` -> `features.build` -> `training.train` -> `Artifact` -> `scoring.score`, and
`backtest.backtest` to see what a model is worth on cutoffs of the past. Every step takes the
instant it may know (`as_of`) as an argument and sees no row at or after it.

The package imports xgboost in `ml.booster` only, and matplotlib in `ml.plots` only when a plot is
drawn, so that the light parts stay cheap to import.
"""
