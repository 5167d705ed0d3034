"""Pictures with questions, made from a number: the data that the shipped model is trained and tested on."""
