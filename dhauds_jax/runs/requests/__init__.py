"""What commands are asked for, a record each; those that other rooms read lie in `cells.request`, `train.request`."""
