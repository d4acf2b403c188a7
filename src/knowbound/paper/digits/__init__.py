"""Table 3 and Figure 1: MNIST."""
