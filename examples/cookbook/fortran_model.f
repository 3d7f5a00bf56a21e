C     SPDX-FileCopyrightText: The procpool authors
C     SPDX-License-Identifier: BSL-1.0
C
C     A model as it was written in 1978: foxes and rabbits, whose
C     state lies in a COMMON block, one for the whole process.

      SUBROUTINE SETUP(MEALS)
      DOUBLE PRECISION MEALS, STATE(2), RATE, EATEN
      COMMON /MODEL/ STATE, RATE, EATEN
      EATEN = MEALS
      END

      SUBROUTINE START(RABBIT, FOX, GROWTH)
      DOUBLE PRECISION RABBIT, FOX, GROWTH, STATE(2), RATE, EATEN
      COMMON /MODEL/ STATE, RATE, EATEN
      STATE(1) = RABBIT
      STATE(2) = FOX
      RATE = GROWTH
      END

C     One step of a season. Stops the program if it diverges.
      SUBROUTINE ADVANC(STEP)
      DOUBLE PRECISION STEP, STATE(2), RATE, EATEN, R, F
      COMMON /MODEL/ STATE, RATE, EATEN
      R = STATE(1)
      F = STATE(2)
      STATE(1) = R + STEP * (RATE * R - EATEN * R * F)
      STATE(2) = F + STEP * (EATEN * R * F / 2 - 0.3D0 * F)
      IF (STATE(1) .LT. 0D0 .OR. STATE(1) .GT. 1D6) STOP 3
      END

      DOUBLE PRECISION FUNCTION ANSWER()
      DOUBLE PRECISION STATE(2), RATE, EATEN
      COMMON /MODEL/ STATE, RATE, EATEN
      ANSWER = STATE(1)
      END
