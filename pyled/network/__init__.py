"""The fast forward pass, without checks of arguments and without Hugging Face's names."""
