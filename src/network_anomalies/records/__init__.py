"""What crosses nodes, stages and stores: typed values without behaviour."""
