"""Training of the Refiner, the View Generator and ToffeeNet."""
