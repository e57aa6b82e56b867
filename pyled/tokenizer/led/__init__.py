"""LED's tokenizer under Hugging Face's names, over the algorithm beside this folder."""
