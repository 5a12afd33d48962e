"""Files of rows, read for training: cells, types, target and time, what is proposed, and what is wrong with them."""
