"""Estimators over (frame, atom, feature) Datasets of any size, with scikit-learn's conventions."""
