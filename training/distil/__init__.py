"""What a student learns from a teacher, and how the teacher's outputs are had."""
