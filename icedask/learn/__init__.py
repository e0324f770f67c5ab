"""Estimators with scikit-learn's conventions over (frame, atom, feature) Datasets of any size."""
