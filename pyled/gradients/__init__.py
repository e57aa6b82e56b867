"""The backward pass: for each function of `network/` its backward, under the same name.

A backward function takes the gradient of the loss with respect to what its forward function returned (`upstream`), and
what went into that. It returns the gradient with respect to the input, and adds those of the weights to `sums`. Its
lines are those of the forward function in reverse order. `d_x` is the gradient with respect to x.

Read in this order: sums, keeping, layers, attention_encoder, encoder, attention_decoder, decoder, losses, heads, model.
"""
