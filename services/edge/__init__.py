"""The edge: who may ask, for which model, under which key; the one door that clients see."""
